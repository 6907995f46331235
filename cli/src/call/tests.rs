use super::*;

#[test]
fn replies_are_shown_with_the_names_of_the_interface() {
    let reply = candid_parser::parse_idl_args(
        "(variant { Ok = record { visits = 3 : nat64; other = vec { opt record { page = \"home\" } } } })",
    );
    let bytes = reply.expect("Candid").to_bytes().expect("encoded");
    let values = IDLArgs::from_bytes(&bytes).expect("decoded");
    let names = names_of("service : { visits : (page : text) -> (nat64) query; }");
    let shown =
        IDLArgs { args: values.args.into_iter().map(|value| named(value, &names, DEPTH_MAX)).collect() }.to_string();
    for name in ["Ok", "visits", "page", "home"] {
        assert!(shown.contains(name), "{name} in {shown}");
    }
    assert!(!shown.contains("other"), "a name that the interface doesn't have stays a number: {shown}");
}
