//! Table 9-10 and nothing else.
