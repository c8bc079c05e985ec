//! Status codes and classes.
