//! `call`: any method of any canister, with arguments and replies as Candid text.

use std::collections::BTreeMap;

use candid::types::Label;
use candid::types::value::{IDLField, VariantValue};
use candid::{IDLArgs, IDLValue, Principal};
use canopy_client::transport::{AgentTransport, Transport};
use clap::Args;

use crate::connection::{Connection, parse_principal};
use crate::failure::{Failure, Kind};
use crate::places;
use crate::shown::{print_line, value_json};

#[cfg(test)]
mod tests;

/// The name of the canister that `canopy dev` installs besides the router.
const APPLICATION: &str = "application";

/// The name of the section in which canisters carry their interface.
const INTERFACE: &str = "candid:service";

/// How deep a value is shown with names.
const DEPTH_MAX: usize = 100;

/// What `call` is given.
#[derive(Args)]
#[group(skip)]
pub struct CallOptions {
    /// The canister: a principal, or `application` for the one that `canopy dev` installed.
    canister: String,
    /// The method.
    method: String,
    /// The arguments, as Candid text.
    #[arg(default_value = "()")]
    arguments: String,
    /// Call it as a query.
    #[arg(long)]
    query: bool,
}

/// Calls a method and prints what it replies.
pub async fn run(connection: &Connection, options: CallOptions, json: bool) -> Result<(), Failure> {
    let canister = match options.canister.as_str() {
        APPLICATION => places::read_local_network()?.application.ok_or_else(|| {
            Failure::local("`canopy dev` installed no application; start it with --example or --application")
        })?,
        id => parse_principal(id)?,
    };
    let malformed = |error: String| Failure::local(format!("the arguments `{}`: {error}", options.arguments));
    let arguments = candid_parser::parse_idl_args(&options.arguments).map_err(|error| malformed(error.to_string()))?;
    let arguments = arguments.to_bytes().map_err(|error| malformed(error.to_string()))?;
    let transport = connection.transport().await?;
    let reply = if options.query {
        transport.query(canister, &options.method, &arguments).await
    } else {
        transport.update(canister, &options.method, &arguments).await
    };
    let reply = reply.map_err(|error| {
        let failure = Failure::from(error).during(&options.method);
        if failure.kind == Kind::Unknown { failure.with_advice("it may have been done") } else { failure }
    })?;
    if json {
        return print_line(serde_json::json!({ "reply_base64": value_json(&reply) }));
    }
    let values = IDLArgs::from_bytes(&reply)
        .map_err(|error| Failure::network(format!("the reply is no Candid that can be shown: {error}")))?;
    let names = names_of(&interface_of(&transport, canister).await);
    let args = values.args.into_iter().map(|value| named(value, &names, DEPTH_MAX)).collect();
    print_line(IDLArgs { args })
}

/// Reads the interface that a canister carries; an empty text when it carries none.
async fn interface_of(transport: &AgentTransport, canister: Principal) -> String {
    let section = transport.agent().read_state_canister_metadata(canister, INTERFACE).await;
    section.ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// Finds the names that the hashes of fields may stand for: all words of the interface, and those of every result.
fn names_of(interface: &str) -> BTreeMap<u32, String> {
    let words = interface.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.chain(["Ok", "Err"]).map(|word| (candid::idl_hash(word), word.to_string())).collect()
}

/// Puts names in the place of hashes.
fn named(value: IDLValue, names: &BTreeMap<u32, String>, depth: usize) -> IDLValue {
    let Some(depth) = depth.checked_sub(1) else { return value };
    let of_field = |field: IDLField| IDLField {
        id: match &field.id {
            Label::Id(hash) => names.get(hash).map_or(field.id.clone(), |name| Label::Named(name.clone())),
            _ => field.id.clone(),
        },
        val: named(field.val, names, depth),
    };
    match value {
        IDLValue::Record(fields) => IDLValue::Record(fields.into_iter().map(of_field).collect()),
        IDLValue::Variant(VariantValue(field, index)) => {
            IDLValue::Variant(VariantValue(Box::new(of_field(*field)), index))
        }
        IDLValue::Vec(values) => IDLValue::Vec(values.into_iter().map(|value| named(value, names, depth)).collect()),
        IDLValue::Opt(value) => IDLValue::Opt(Box::new(named(*value, names, depth))),
        other => other,
    }
}
