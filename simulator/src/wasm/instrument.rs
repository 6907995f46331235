//! Rewrites a module so that it counts instructions and shows its state.
//!
//! Added at the ends of index spaces, so that no index shifts: two globals (the instructions left; the size of a bulk
//! operation that was refused), two functions that charge bulk operations, and exports of memory, first table, start
//! function and all mutable globals. Each block is charged when it begins; the counter is checked at function entries
//! and loop heads, where a negative one ends in `unreachable`. Sections that need no change are copied byte by byte.

use wasmparser::{BinaryReaderError, ExternalKind, FunctionBody, Parser, Payload, TypeRef};

use super::costs;
use crate::limits::SLICE_INSTRUCTIONS_MAX;

/// Names of what is exported in addition; modules that use the prefix are refused.
pub const PREFIX: &str = "canopy:";
pub const COUNTER: &str = "canopy:counter";
pub const REFUSED_BYTES: &str = "canopy:refused_bytes";
pub const MEMORY: &str = "canopy:memory";
pub const TABLE: &str = "canopy:table";
pub const START: &str = "canopy:start";

/// Returns the name under which mutable global number `index` (among the mutable ones) is exported.
pub fn global_name(index: usize) -> String {
    format!("{PREFIX}global:{index}")
}

/// Rewrites `wasm`, which must be valid.
///
/// # Errors
/// Only if `wasm` can't be parsed.
pub fn instrument(wasm: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    let shape = Shape::read(wasm)?;
    let mut sections = Sections::new();
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::TypeSection(reader) => sections.entries(TYPE, reader.count(), &wasm[reader.range()]),
            Payload::ImportSection(reader) => sections.entries(IMPORT, reader.count(), &wasm[reader.range()]),
            Payload::FunctionSection(reader) => sections.entries(FUNCTION, reader.count(), &wasm[reader.range()]),
            Payload::TableSection(reader) => sections.entries(TABLES, reader.count(), &wasm[reader.range()]),
            Payload::MemorySection(reader) => sections.entries(MEMORIES, reader.count(), &wasm[reader.range()]),
            Payload::GlobalSection(reader) => sections.entries(GLOBAL, reader.count(), &wasm[reader.range()]),
            Payload::ExportSection(reader) => sections.entries(EXPORT, reader.count(), &wasm[reader.range()]),
            Payload::ElementSection(reader) => sections.entries(ELEMENT, reader.count(), &wasm[reader.range()]),
            Payload::DataCountSection { count, .. } => sections.data_count = Some(count),
            Payload::DataSection(reader) => sections.entries(DATA, reader.count(), &wasm[reader.range()]),
            Payload::CodeSectionEntry(body) => bodies.push(function(&body, wasm, &shape)?),
            _ => {}
        }
    }
    bodies.push(charge_bulk(&shape, false));
    bodies.push(charge_bulk(&shape, true));
    for body in bodies {
        let mut entry = Vec::with_capacity(body.len() + 5);
        unsigned(&mut entry, body.len() as u64);
        entry.extend(body);
        sections.add(CODE, &entry);
    }
    // (i32) -> (i32) and (i64) -> (i64), for the functions that charge bulk operations.
    sections.add(TYPE, &[0x60, 1, I32, 1, I32]);
    sections.add(TYPE, &[0x60, 1, I64, 1, I64]);
    for index in [shape.types, shape.types + 1] {
        let mut entry = Vec::new();
        unsigned(&mut entry, index.into());
        sections.add(FUNCTION, &entry);
    }
    for _ in [COUNTER, REFUSED_BYTES] {
        sections.add(GLOBAL, &[I64, 1, I64_CONST, 0, END]);
    }
    for (name, kind, index) in shape.exports() {
        let mut entry = Vec::new();
        unsigned(&mut entry, name.len() as u64);
        entry.extend(name.as_bytes());
        entry.push(kind);
        unsigned(&mut entry, index.into());
        sections.add(EXPORT, &entry);
    }
    Ok(sections.finish())
}

/// Sizes of index spaces, and what is to be exported.
struct Shape {
    types: u32,
    functions: u32,
    globals: u32,
    mutable_globals: Vec<u32>,
    tables: u32,
    memories: u32,
    memory64: bool,
    start: Option<u32>,
}

impl Shape {
    fn read(wasm: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut shape = Shape {
            types: 0,
            functions: 0,
            globals: 0,
            mutable_globals: Vec::new(),
            tables: 0,
            memories: 0,
            memory64: false,
            start: None,
        };
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(reader) => shape.types = reader.count(),
                Payload::ImportSection(reader) => {
                    for import in reader.into_imports() {
                        if let TypeRef::Func(_) = import?.ty {
                            shape.functions += 1;
                        }
                    }
                }
                Payload::FunctionSection(reader) => shape.functions += reader.count(),
                Payload::TableSection(reader) => shape.tables = reader.count(),
                Payload::MemorySection(reader) => {
                    shape.memories = reader.count();
                    for memory in reader {
                        shape.memory64 |= memory?.memory64;
                    }
                }
                Payload::GlobalSection(reader) => {
                    for global in reader {
                        if global?.ty.mutable {
                            shape.mutable_globals.push(shape.globals);
                        }
                        shape.globals += 1;
                    }
                }
                Payload::StartSection { func, .. } => shape.start = Some(func),
                _ => {}
            }
        }
        Ok(shape)
    }

    fn counter(&self) -> u32 {
        self.globals
    }

    fn refused_bytes(&self) -> u32 {
        self.globals + 1
    }

    /// Index of the function that charges a bulk operation whose size is an i32 or i64.
    fn charge_bulk(&self, wide: bool) -> u32 {
        self.functions + u32::from(wide)
    }

    fn exports(&self) -> Vec<(String, u8, u32)> {
        let mut exports = vec![
            (COUNTER.to_string(), GLOBAL_KIND, self.counter()),
            (REFUSED_BYTES.to_string(), GLOBAL_KIND, self.refused_bytes()),
        ];
        if self.memories > 0 {
            exports.push((MEMORY.to_string(), MEMORY_KIND, 0));
        }
        if self.tables > 0 {
            exports.push((TABLE.to_string(), TABLE_KIND, 0));
        }
        exports.extend(self.start.map(|index| (START.to_string(), FUNCTION_KIND, index)));
        let globals = self.mutable_globals.iter().enumerate();
        exports.extend(globals.map(|(number, index)| (global_name(number), GLOBAL_KIND, *index)));
        exports
    }
}

/// Something to insert into a function body.
enum Insertion {
    /// The charge of the block that begins here; checked at function entries and loop heads.
    Charge { cost: u64, check: bool },
    /// A call that charges the bulk operation before which it stands.
    Bulk { wide: bool },
}

fn function(body: &FunctionBody, wasm: &[u8], shape: &Shape) -> Result<Vec<u8>, BinaryReaderError> {
    let mut reader = body.get_operators_reader()?;
    let code = reader.original_position();
    let mut insertions = vec![(code, Insertion::Charge { cost: costs::FUNCTION_ENTRY, check: true })];
    let mut block = 0;
    while !reader.eof() {
        let (operator, offset) = reader.read_with_offset()?;
        if let Insertion::Charge { cost, .. } = &mut insertions[block].1 {
            *cost += costs::cost(&operator, shape.memory64);
        }
        if costs::is_bulk(&operator) {
            let wide = shape.memory64 && !matches!(operator, wasmparser::Operator::MemoryInit { .. });
            insertions.push((offset, Insertion::Bulk { wide }));
        }
        if costs::ends_block(&operator) {
            block = insertions.len();
            let check = matches!(operator, wasmparser::Operator::Loop { .. });
            insertions.push((reader.original_position(), Insertion::Charge { cost: 0, check }));
        }
    }
    let range = body.range();
    let mut out = Vec::with_capacity(range.len() * 2);
    let mut copied = range.start;
    for (offset, insertion) in insertions {
        out.extend_from_slice(&wasm[copied..offset]);
        copied = offset;
        match insertion {
            Insertion::Charge { cost, check } => {
                if cost > 0 {
                    charge(&mut out, shape.counter(), cost);
                }
                if check {
                    stop_if_negative(&mut out, shape.counter());
                }
            }
            Insertion::Bulk { wide } => {
                out.push(CALL);
                unsigned(&mut out, shape.charge_bulk(wide).into());
            }
        }
    }
    out.extend_from_slice(&wasm[copied..range.end]);
    Ok(out)
}

fn charge(out: &mut Vec<u8>, counter: u32, cost: u64) {
    global(out, GLOBAL_GET, counter);
    out.push(I64_CONST);
    signed(out, cost as i64);
    out.push(I64_SUB);
    global(out, GLOBAL_SET, counter);
}

fn stop_if_negative(out: &mut Vec<u8>, counter: u32) {
    global(out, GLOBAL_GET, counter);
    out.extend([I64_CONST, 0, I64_LT_S, IF, EMPTY_BLOCK, UNREACHABLE, END]);
}

/// A function that takes the size of a bulk operation, charges it, and gives it back.
fn charge_bulk(shape: &Shape, wide: bool) -> Vec<u8> {
    let mut out = vec![0];
    let size = |out: &mut Vec<u8>| {
        out.extend([LOCAL_GET, 0]);
        if !wide {
            out.push(I64_EXTEND_I32_U);
        }
    };
    size(&mut out);
    out.push(I64_CONST);
    signed(&mut out, SLICE_INSTRUCTIONS_MAX as i64);
    out.extend([I64_GT_U, IF, EMPTY_BLOCK]);
    size(&mut out);
    global(&mut out, GLOBAL_SET, shape.refused_bytes());
    out.extend([UNREACHABLE, END]);
    global(&mut out, GLOBAL_GET, shape.counter());
    size(&mut out);
    out.push(I64_SUB);
    global(&mut out, GLOBAL_SET, shape.counter());
    stop_if_negative(&mut out, shape.counter());
    out.extend([LOCAL_GET, 0, END]);
    out
}

fn global(out: &mut Vec<u8>, operation: u8, index: u32) {
    out.push(operation);
    unsigned(out, index.into());
}

/// Section ids, in the order in which sections stand (Wasm core specification, 5.5).
const ORDER: [usize; 10] = [TYPE, IMPORT, FUNCTION, TABLES, MEMORIES, GLOBAL, EXPORT, ELEMENT, CODE, DATA];
const TYPE: usize = 1;
const IMPORT: usize = 2;
const FUNCTION: usize = 3;
const TABLES: usize = 4;
const MEMORIES: usize = 5;
const GLOBAL: usize = 6;
const EXPORT: usize = 7;
const ELEMENT: usize = 9;
const CODE: usize = 10;
const DATA: usize = 11;
const DATA_COUNT: u8 = 12;

const FUNCTION_KIND: u8 = ExternalKind::Func as u8;
const TABLE_KIND: u8 = ExternalKind::Table as u8;
const MEMORY_KIND: u8 = ExternalKind::Memory as u8;
const GLOBAL_KIND: u8 = ExternalKind::Global as u8;

const I32: u8 = 0x7f;
const I64: u8 = 0x7e;
const UNREACHABLE: u8 = 0x00;
const IF: u8 = 0x04;
const END: u8 = 0x0b;
const CALL: u8 = 0x10;
const LOCAL_GET: u8 = 0x20;
const GLOBAL_GET: u8 = 0x23;
const GLOBAL_SET: u8 = 0x24;
const I64_CONST: u8 = 0x42;
const I64_LT_S: u8 = 0x53;
const I64_GT_U: u8 = 0x56;
const I64_SUB: u8 = 0x7d;
const I64_EXTEND_I32_U: u8 = 0xad;
const EMPTY_BLOCK: u8 = 0x40;

/// Sections under construction: number of entries and their bytes, by section id.
struct Sections {
    entries: [(u32, Vec<u8>); 12],
    data_count: Option<u32>,
}

impl Sections {
    fn new() -> Self {
        Self { entries: std::array::from_fn(|_| (0, Vec::new())), data_count: None }
    }

    /// Takes over a section: `contents` begins with the number of entries.
    fn entries(&mut self, id: usize, count: u32, contents: &[u8]) {
        let prefix = contents.iter().position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1);
        let (entries, bytes) = &mut self.entries[id];
        *entries += count;
        bytes.extend_from_slice(&contents[prefix..]);
    }

    fn add(&mut self, id: usize, entry: &[u8]) {
        let (entries, bytes) = &mut self.entries[id];
        *entries += 1;
        bytes.extend_from_slice(entry);
    }

    fn finish(self) -> Vec<u8> {
        let mut out = b"\0asm\x01\0\0\0".to_vec();
        for id in ORDER {
            if let (CODE, Some(count)) = (id, self.data_count) {
                let mut contents = Vec::new();
                unsigned(&mut contents, count.into());
                out.push(DATA_COUNT);
                unsigned(&mut out, contents.len() as u64);
                out.extend(contents);
            }
            let (count, bytes) = &self.entries[id];
            if *count == 0 {
                continue;
            }
            let mut prefix = Vec::new();
            unsigned(&mut prefix, (*count).into());
            out.push(id as u8);
            unsigned(&mut out, (prefix.len() + bytes.len()) as u64);
            out.extend(prefix);
            out.extend_from_slice(bytes);
        }
        out
    }
}

/// Appends an unsigned LEB128 number.
fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed LEB128 number.
fn signed(out: &mut Vec<u8>, mut value: i64) {
    while !(-0x40..0x40).contains(&value) {
        out.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    out.push(value as u8 & 0x7f);
}

#[cfg(test)]
mod tests;
