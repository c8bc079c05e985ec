//! Rule tables and their evaluation.
