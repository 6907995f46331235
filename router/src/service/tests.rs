use candid_parser::utils::{CandidSource, service_equal};

#[test]
fn candid_file_tells_what_the_code_does() {
    let (written, real) = (include_str!("../../router.did"), super::interface());
    service_equal(CandidSource::Text(&real), CandidSource::Text(written)).unwrap();
}
