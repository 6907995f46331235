//! What compiling a module costs: so much per operator of the instrumented code.

use crate::wasm::Module;

/// Instructions per operator of a module that the subnet sees for the first time.
const INSTRUCTIONS_PER_OPERATOR: u64 = 6_000;
/// By what that is divided if the subnet has compiled the module before.
const COMPILED_BEFORE_DISCOUNT: u64 = 100;

/// Returns the instructions that compiling a module is charged.
pub fn compile_instructions(module: &Module, compiled_before: bool) -> u64 {
    let instructions = module.operators() * INSTRUCTIONS_PER_OPERATOR;
    if compiled_before { instructions / COMPILED_BEFORE_DISCOUNT } else { instructions }
}
