//! PS3.5: data sets as bytes.

pub mod element_table;
pub mod encode;
pub mod scan;
pub mod transfer_syntax;
