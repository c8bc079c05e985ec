//! PS3.5: data sets as bytes.

pub mod attributes;
pub mod breaks;
pub mod character_set;
pub mod compare;
pub mod directory;
pub mod dump;
mod element_header;
pub mod element_table;
pub mod encode;
pub mod identifier;
pub mod index_keys;
pub mod json;
pub mod oddities;
pub mod query_keys;
pub mod rewrite;
pub mod scan;
pub mod substitute;
pub mod transfer_syntax;
pub mod walk;
pub mod xml;
