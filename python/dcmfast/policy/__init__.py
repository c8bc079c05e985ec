"""Rules as pure functions: configuration in, tables for the engine out."""
