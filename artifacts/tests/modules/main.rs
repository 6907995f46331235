//! What the built modules contain, and that their bytes depend on nothing but the sources.

mod contents;
mod reproducible;
