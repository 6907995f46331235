//! Heap memory.
