//! The representation-independent hash of structured values (interface specification, "Request ids").

use sha2::{Digest, Sha256};

pub type Hash = [u8; 32];

/// A value to be hashed.
#[derive(Clone, Debug)]
pub enum Value<'v> {
    Number(u64),
    Bytes(&'v [u8]),
    Text(&'v str),
    List(Vec<Value<'v>>),
    Record(Vec<(&'static str, Value<'v>)>),
}

impl Value<'_> {
    pub fn hash(&self) -> Hash {
        match self {
            Value::Number(number) => of(&crate::replica::certification::leb128(*number)),
            Value::Bytes(bytes) => of(bytes),
            Value::Text(text) => of(text.as_bytes()),
            Value::List(items) => {
                let mut hash = Sha256::new();
                items.iter().for_each(|item| hash.update(item.hash()));
                hash.finalize().into()
            }
            Value::Record(fields) => {
                let mut pairs: Vec<[Hash; 2]> =
                    fields.iter().map(|(name, value)| [of(name.as_bytes()), value.hash()]).collect();
                pairs.sort();
                let mut hash = Sha256::new();
                pairs.iter().flatten().for_each(|part| hash.update(part));
                hash.finalize().into()
            }
        }
    }
}

fn of(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}
