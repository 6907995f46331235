use super::*;

fn secret(seed: u8) -> HashSecret {
    HashSecret::new(std::array::from_fn(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)))
}

#[test]
fn hash_of_a_key_never_changes() {
    let known = secret(7);
    assert_eq!(known.hash(b"alpha"), known.hash(b"alpha"));
    assert_eq!(
        [known.hash(b"").0, known.hash(b"alpha").0, known.hash(&[0; 1024]).0],
        GOLDEN_HASHES,
        "a different hash would lose every record stored under the old one"
    );
}

const GOLDEN_HASHES: [u64; 3] = [17991569140389818063, 9135198349401681780, 9151961234333862514];

#[test]
fn hash_depends_on_the_secret() {
    assert_ne!(secret(1).hash(b"alpha"), secret(2).hash(b"alpha"));
    assert_ne!(secret(1).fingerprint(), secret(2).fingerprint());
}

#[test]
fn secret_stays_out_of_debug_output() {
    assert_eq!(format!("{:?}", secret(9)), "HashSecret(..)");
}

#[test]
fn secret_of_another_length_is_refused() {
    assert!(HashSecret::from_slice(&[0; SECRET_BYTES - 1]).is_none());
    assert!(HashSecret::from_slice(&[0; SECRET_BYTES]).is_some());
}

#[test]
fn seals_differ_by_secret_and_message_and_not_by_how_it_is_cut() {
    let tags = TagSecret::derive(&secret(1), Some(&[3; TAG_SEED_BYTES]));
    let other = TagSecret::derive(&secret(1), Some(&[4; TAG_SEED_BYTES]));
    assert_eq!(tags.seal(&[b"one", b"two"]), tags.seal(&[b"onetwo"]));
    assert_ne!(tags.seal(&[b"one"]), tags.seal(&[b"two"]));
    assert_ne!(tags.seal(&[b"one"]), other.seal(&[b"one"]));
}
