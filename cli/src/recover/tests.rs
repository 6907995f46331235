use super::*;

const ONE: &str = "bkyz2-fmaaa-aaaaa-qaaaq-cai";
const OTHER: &str = "bd3sg-teaaa-aaaaa-qaaba-cai";

fn texts(line: &str) -> Vec<String> {
    shards_of_line(line).expect("shards are named").iter().map(Principal::to_text).collect()
}

#[test]
fn shards_are_read_as_the_command_prints_them_and_as_people_write_them() {
    assert_eq!(texts(ONE), [ONE]);
    assert_eq!(texts(&format!("\"{ONE}\"")), [ONE]);
    assert_eq!(texts(&json!({ "shard": ONE, "epoch": 3 }).to_string()), [ONE]);
    let status = json!({ "ready": true, "shards": [{ "canister": ONE }, { "canister": null }, { "canister": OTHER }] });
    assert_eq!(texts(&status.to_string()), [ONE, OTHER]);
    for line in ["nobody", "{}", "7", "{\"shards\": [{\"canister\": 7}]}"] {
        shards_of_line(line).expect_err(line);
    }
}

#[test]
fn a_shard_that_is_named_twice_is_taken_once() {
    let options = RecoverOptions { shards: vec![ONE.to_string(), ONE.to_string()], from: None, yes: true };
    assert_eq!(named(&options).expect("one is named").len(), 1);
    let none = RecoverOptions { shards: vec![], from: Some("/dev/null".into()), yes: true };
    assert!(named(&none).expect_err("nobody is named").to_string().contains("no shards are named"));
}
