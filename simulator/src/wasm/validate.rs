//! What the platform accepts as a canister module (`ic-facts.md` 4.1, 4.5, 9; interface specification, "Canister
//! module format"), and what is to be known of an accepted one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wasmparser::{
    BinaryReaderError, CompositeInnerType, ExternalKind, FuncType, Operator, Parser, Payload, RefType, TypeRef,
    ValType, Validator, WasmFeatures,
};

use super::engine::CustomSection;
use super::ic0;
use super::instrument::PREFIX;
use crate::limits::{GIB, MIB, WASM_PAGE_BYTES};

pub const MODULE_BYTES_MAX: usize = super::gzip::MODULE_BYTES_MAX as usize;
pub const CODE_BYTES_MAX: usize = 11 * MIB as usize;
pub const FUNCTIONS_MAX: usize = 50_000;
/// Complexity of one function, here the number of its operators.
pub const COMPLEXITY_MAX: u64 = 1_000_000;
pub const GLOBALS_MAX: usize = 1_000;
pub const METHODS_MAX: usize = 1_000;
/// Sum of the lengths of the names of exported methods.
pub const METHOD_NAMES_BYTES_MAX: usize = 20_000;
pub const CUSTOM_SECTIONS_MAX: usize = 16;
pub const CUSTOM_SECTIONS_BYTES_MAX: usize = MIB as usize;
/// Elements of all tables at the start; keeps a module from claiming the host's memory.
pub const TABLE_ELEMENTS_MAX: u64 = 1_000_000;
/// Largest heap of a module with 64-bit addresses.
pub const HEAP64_BYTES_MAX: u64 = 6 * GIB;
pub const HEAP32_BYTES_MAX: u64 = 4 * GIB;

const METHOD_PREFIXES: [&str; 3] = ["canister_update ", "canister_query ", "canister_composite_query "];
const ENTRY_POINTS: [&str; 7] = [
    "canister_init",
    "canister_inspect_message",
    "canister_pre_upgrade",
    "canister_post_upgrade",
    "canister_heartbeat",
    "canister_global_timer",
    "canister_on_low_wasm_memory",
];
/// Exports that the platform's own instrumentation uses.
const RESERVED: [&str; 2] = ["canister counter_instructions", "canister_start"];

/// Returns the proposals that the platform accepts. SIMD is accepted, relaxed SIMD is not.
pub fn features() -> WasmFeatures {
    WasmFeatures::WASM2 | WasmFeatures::TAIL_CALL | WasmFeatures::MEMORY64
}

/// What is known of an accepted module.
#[derive(Debug, Default)]
pub struct Facts {
    pub operators: u64,
    pub wasm64: bool,
    pub has_start: bool,
    /// The module has `data.drop` or `elem.drop`, whose effect must not outlive a message.
    pub drops_segments: bool,
    /// The module imports a function that shows the data certificate.
    pub reads_certificate: bool,
    pub mutable_globals: usize,
    pub functions: BTreeSet<String>,
    pub custom_sections: BTreeMap<String, CustomSection>,
    pub custom_section_bytes: u64,
}

/// Why a module is refused.
#[derive(Debug)]
pub enum Invalid {
    /// Not Wasm, or of proposals that are not accepted.
    Wasm(BinaryReaderError),
    TooLarge {
        what: &'static str,
        is: usize,
        max: usize,
    },
    Import {
        name: String,
        module: String,
    },
    Signature {
        name: String,
    },
    ReservedExport {
        name: String,
    },
    EntryPoint {
        name: String,
    },
    DuplicateMethod {
        name: String,
    },
    ForbiddenOperator {
        operator: String,
    },
    Complexity {
        index: usize,
        complexity: u64,
    },
    Custom {
        reason: String,
    },
}

impl From<BinaryReaderError> for Invalid {
    fn from(error: BinaryReaderError) -> Self {
        Invalid::Wasm(error)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Canister's Wasm module is not valid: ")?;
        match self {
            Invalid::Wasm(error) => write!(f, "Failed to validate wasm module: {error}"),
            Invalid::TooLarge { what, is, max } => write!(f, "Wasm module has {is} {what}, at most {max} are allowed."),
            Invalid::Import { name, module } => write!(
                f,
                "Wasm module has an invalid import section. Module imports function '{name}' from '{module}' that is not exported by the runtime."
            ),
            Invalid::Signature { name } => write!(
                f,
                "Wasm module has an invalid import section. Import '{name}' from 'ic0' has another type than the runtime's."
            ),
            Invalid::ReservedExport { name } => {
                write!(f, "Wasm module has an invalid export section. Exporting reserved function '{name}'.")
            }
            Invalid::EntryPoint { name } => write!(
                f,
                "Wasm module has an invalid function signature. Entry point '{name}' must take and return nothing."
            ),
            Invalid::DuplicateMethod { name } => write!(
                f,
                "Wasm module has an invalid export section. Duplicate function '{name}' exported multiple times with different call types."
            ),
            Invalid::ForbiddenOperator { operator } => write!(f, "Wasm module contains unsupported {operator}."),
            Invalid::Complexity { index, complexity } => write!(
                f,
                "Wasm module has a function at index {index} with complexity {complexity}, at most {COMPLEXITY_MAX} is \
                 allowed."
            ),
            Invalid::Custom { reason } => write!(f, "Wasm module has an invalid custom section. {reason}"),
        }
    }
}

/// Checks a module against all rules.
///
/// # Errors
/// The first rule that it breaks.
pub fn validate(wasm: &[u8]) -> Result<Facts, Invalid> {
    limit("bytes", wasm.len(), MODULE_BYTES_MAX)?;
    Validator::new_with_features(features()).validate_all(wasm)?;
    let mut types: Vec<FuncType> = Vec::new();
    let mut functions: Vec<u32> = Vec::new();
    let mut imported = Vec::new();
    let mut exported = Vec::new();
    let mut facts = Facts::default();
    let mut bodies = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::TypeSection(reader) => {
                for group in reader {
                    for ty in group?.into_types() {
                        let CompositeInnerType::Func(ty) = ty.composite_type.inner else {
                            return Err(Invalid::ForbiddenOperator { operator: "type".into() });
                        };
                        types.push(ty);
                    }
                }
            }
            Payload::ImportSection(reader) => {
                for import in reader.into_imports() {
                    let import = import?;
                    let unknown = || Invalid::Import { name: import.name.into(), module: import.module.into() };
                    let TypeRef::Func(ty) = import.ty else { return Err(unknown()) };
                    if import.module != "ic0" || !ic0::exists(import.name) {
                        return Err(unknown());
                    }
                    facts.reads_certificate |= import.name.starts_with("data_certificate");
                    imported.push((import.name, ty));
                    functions.push(ty);
                }
            }
            Payload::FunctionSection(reader) => {
                limit("functions", reader.count() as usize, FUNCTIONS_MAX)?;
                for ty in reader {
                    functions.push(ty?);
                }
            }
            Payload::TableSection(reader) => {
                let mut elements = 0u64;
                for table in reader {
                    elements = elements.saturating_add(table?.ty.initial);
                }
                limit("table elements", elements as usize, TABLE_ELEMENTS_MAX as usize)?;
            }
            Payload::MemorySection(reader) => {
                for memory in reader {
                    let memory = memory?;
                    facts.wasm64 = memory.memory64;
                    let most = if memory.memory64 { HEAP64_BYTES_MAX } else { HEAP32_BYTES_MAX } / WASM_PAGE_BYTES;
                    limit("pages of memory", memory.initial as usize, most as usize)?;
                }
            }
            Payload::GlobalSection(reader) => {
                limit("globals", reader.count() as usize, GLOBALS_MAX)?;
                for global in reader {
                    let ty = global?.ty;
                    if ty.mutable {
                        facts.mutable_globals += 1;
                        if let ValType::Ref(RefType { .. }) = ty.content_type {
                            return Err(Invalid::ForbiddenOperator {
                                operator: "mutable global of a reference".into(),
                            });
                        }
                    }
                }
            }
            Payload::ExportSection(reader) => {
                for export in reader {
                    let export = export?;
                    exported.push((export.name, export.kind, export.index));
                }
            }
            Payload::StartSection { .. } => facts.has_start = true,
            Payload::CodeSectionStart { size, .. } => limit("bytes of code", size as usize, CODE_BYTES_MAX)?,
            Payload::CodeSectionEntry(body) => {
                let before = facts.operators;
                operators(body.get_operators_reader()?, &mut facts)?;
                let complexity = facts.operators - before;
                if complexity > COMPLEXITY_MAX {
                    return Err(Invalid::Complexity { index: imported.len() + bodies, complexity });
                }
                bodies += 1;
            }
            Payload::CustomSection(section) => custom_section(section.name(), section.data(), &mut facts)?,
            _ => {}
        }
    }
    for (name, ty) in imported {
        if !ic0::accepts(name, facts.wasm64, &types[ty as usize]) {
            return Err(Invalid::Signature { name: name.into() });
        }
    }
    exports(&exported, &functions, &types, &mut facts)?;
    Ok(facts)
}

fn operators(mut reader: wasmparser::OperatorsReader, facts: &mut Facts) -> Result<(), Invalid> {
    while !reader.eof() {
        let operator = reader.read()?;
        facts.operators += 1;
        match operator {
            Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. } => {
                return Err(Invalid::ForbiddenOperator { operator: format!("operator {operator:?}") });
            }
            Operator::DataDrop { .. } | Operator::ElemDrop { .. } => facts.drops_segments = true,
            _ => {}
        }
    }
    Ok(())
}

fn exports(
    exported: &[(&str, ExternalKind, u32)],
    functions: &[u32],
    types: &[FuncType],
    facts: &mut Facts,
) -> Result<(), Invalid> {
    let (mut methods, mut bytes) = (BTreeSet::new(), 0);
    for (name, kind, index) in exported {
        if name.starts_with(PREFIX) || RESERVED.contains(name) {
            return Err(Invalid::ReservedExport { name: name.to_string() });
        }
        if *kind != ExternalKind::Func {
            continue;
        }
        let method = METHOD_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix));
        if let Some(method) = method {
            bytes += method.len();
            if !methods.insert(method) {
                return Err(Invalid::DuplicateMethod { name: method.into() });
            }
        } else if name.starts_with("canister_") && !ENTRY_POINTS.contains(name) {
            return Err(Invalid::ReservedExport { name: name.to_string() });
        }
        let ty = &types[functions[*index as usize] as usize];
        let is_entry_point = method.is_some() || ENTRY_POINTS.contains(name);
        if is_entry_point && !(ty.params().is_empty() && ty.results().is_empty()) {
            return Err(Invalid::EntryPoint { name: name.to_string() });
        }
        facts.functions.insert(name.to_string());
    }
    limit("exported methods", methods.len(), METHODS_MAX)?;
    limit("bytes in names of exported methods", bytes, METHOD_NAMES_BYTES_MAX)
}

fn custom_section(name: &str, content: &[u8], facts: &mut Facts) -> Result<(), Invalid> {
    let Some(name) = name.strip_prefix("icp:") else { return Ok(()) };
    let (public, name) = match name.split_once(' ') {
        Some(("public", name)) => (true, name),
        Some(("private", name)) => (false, name),
        _ => {
            return Err(Invalid::Custom {
                reason: format!("Invalid custom section: icp:{name} is neither public nor private."),
            });
        }
    };
    let bytes = facts.custom_section_bytes as usize + name.len() + content.len();
    limit("bytes of custom sections", bytes, CUSTOM_SECTIONS_BYTES_MAX)?;
    limit("custom sections", facts.custom_sections.len() + 1, CUSTOM_SECTIONS_MAX)?;
    facts.custom_section_bytes = bytes as u64;
    let section = CustomSection { public, content: content.to_vec() };
    match facts.custom_sections.insert(name.to_string(), section) {
        None => Ok(()),
        Some(_) => Err(Invalid::Custom { reason: format!("Invalid custom section: name {name} already exists.") }),
    }
}

fn limit(what: &'static str, is: usize, max: usize) -> Result<(), Invalid> {
    if is > max { Err(Invalid::TooLarge { what, is, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
