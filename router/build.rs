//! Tells the compiler whether the shard's code is at hand: the build of `canopy-artifacts` passes it in.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(embedded_shard)");
    println!("cargo::rerun-if-env-changed=CANOPY_SHARD_WASM");
    println!("cargo::rerun-if-env-changed=CANOPY_SHARD_SHA256");
    println!("cargo::rerun-if-changed=build.rs");
    if let Some(path) = std::env::var_os("CANOPY_SHARD_WASM") {
        println!("cargo::rerun-if-changed={}", path.display());
        println!("cargo::rustc-cfg=embedded_shard");
    }
}
