use super::*;

#[test]
fn the_reduced_workspace_is_built_quickly() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
        .expect("the workspace has a manifest");
    let reduced = reduce_workspace(&manifest);
    let (_, canisters) = reduced.split_once("[profile.canister]").expect("the canisters have a profile");
    for line in ["lto = false", "incremental = true", "codegen-units = 64", "opt-level = 1"] {
        assert_eq!(canisters.lines().filter(|found| *found == line).count(), 1, "{line}");
    }
}
