"""Every option, once, with all its spellings; a module per subject."""
