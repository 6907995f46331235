//! Who may call which method, and where it goes: one table for the ingress filter, for routing and for execution.

use candid::{CandidType, Principal};
use serde::Deserialize;

use super::errors::Refusal;
use super::payload;

macro_rules! methods {
    ($($method:ident $name:literal $ingress:ident $canisters:ident $target:ident;)*) => {
        /// The methods of the management canister.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Method { $($method),* }

        const RULES: &[Rule] = &[$(Rule {
            method: Method::$method,
            name: $name,
            ingress: Ingress::$ingress,
            canisters: Canisters::$canisters,
            target: Target::$target,
        }),*];
    };
}

methods! {
    // method                      name                                    as ingress   from canisters  goes to
    CanisterInfo                   "canister_info"                           Never        Yes  Canister;
    CanisterMetadata               "canister_metadata"                       Never        Yes  Canister;
    CanisterMetrics                "canister_metrics"                        Controllers  Yes  Canister;
    CanisterStatus                 "canister_status"                         Controllers  Yes  Canister;
    ClearChunkStore                "clear_chunk_store"                       Controllers  Yes  Canister;
    CreateCanister                 "create_canister"                         Never        Yes  Own;
    DeleteCanister                 "delete_canister"                         Controllers  Yes  Canister;
    DeleteCanisterSnapshot         "delete_canister_snapshot"                Controllers  Yes  Canister;
    DepositCycles                  "deposit_cycles"                          Never        Yes  Canister;
    FetchCanisterLogs              "fetch_canister_logs"                     Query        Yes  Canister;
    InstallChunkedCode             "install_chunked_code"                    Controllers  Yes  Receiver;
    InstallCode                    "install_code"                            Controllers  Yes  Canister;
    ListCanisterSnapshots          "list_canister_snapshots"                 Controllers  Yes  Canister;
    ListCanisters                  "list_canisters"                          Admins       Yes  Own;
    LoadCanisterSnapshot           "load_canister_snapshot"                  Controllers  Yes  Canister;
    NodeMetricsHistory             "node_metrics_history"                    Never        Yes  Subnet;
    ProvisionalCreateCanister      "provisional_create_canister_with_cycles" Anyone       Yes  Own;
    ProvisionalTopUpCanister       "provisional_top_up_canister"             Anyone       Yes  Canister;
    RawRand                        "raw_rand"                                Never        Yes  Own;
    ReadCanisterSnapshotData       "read_canister_snapshot_data"             Controllers  Yes  Canister;
    ReadCanisterSnapshotMetadata   "read_canister_snapshot_metadata"         Controllers  Yes  Canister;
    StartCanister                  "start_canister"                          Controllers  Yes  Canister;
    StopCanister                   "stop_canister"                           Controllers  Yes  Canister;
    StoredChunks                   "stored_chunks"                           Controllers  Yes  Canister;
    SubnetInfo                     "subnet_info"                             Never        Yes  Subnet;
    TakeCanisterSnapshot           "take_canister_snapshot"                  Controllers  Yes  Canister;
    UninstallCode                  "uninstall_code"                          Controllers  Yes  Canister;
    UpdateSettings                 "update_settings"                         Controllers  Yes  Canister;
    UploadCanisterSnapshotData     "upload_canister_snapshot_data"           Controllers  Yes  Canister;
    UploadCanisterSnapshotMetadata "upload_canister_snapshot_metadata"       Controllers  Yes  Canister;
    UploadChunk                    "upload_chunk"                            Controllers  Yes  Canister;
    BitcoinGetBalance              "bitcoin_get_balance"                     Never        No   Own;
    BitcoinGetBlockHeaders         "bitcoin_get_block_headers"               Never        No   Own;
    BitcoinGetFeePercentiles       "bitcoin_get_current_fee_percentiles"     Never        No   Own;
    BitcoinGetUtxos                "bitcoin_get_utxos"                       Never        No   Own;
    BitcoinSendTransaction         "bitcoin_send_transaction"                Never        No   Own;
    EcdsaPublicKey                 "ecdsa_public_key"                        Never        No   Own;
    FlexibleHttpRequest            "flexible_http_request"                   Never        No   Own;
    HttpRequest                    "http_request"                            Never        No   Own;
    SchnorrPublicKey               "schnorr_public_key"                      Never        No   Own;
    SignWithEcdsa                  "sign_with_ecdsa"                         Never        No   Own;
    SignWithSchnorr                "sign_with_schnorr"                       Never        No   Own;
    VetkdDeriveKey                 "vetkd_derive_key"                        Never        No   Own;
    VetkdPublicKey                 "vetkd_public_key"                        Never        No   Own;
}

/// What the table says of one method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub method: Method,
    pub name: &'static str,
    pub ingress: Ingress,
    pub canisters: Canisters,
    pub target: Target,
}

/// Whose ingress messages are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingress {
    Never,
    /// Controllers of the target.
    Controllers,
    /// Admins of the subnet.
    Admins,
    /// Anyone: methods of test networks.
    Anyone,
    /// Users may ask by a query only.
    Query,
}

/// Whether canisters may call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canisters {
    Yes,
    /// There is no backend for it.
    No,
}

/// Which subnet executes the call, and where the argument says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The caller's own.
    Own,
    /// That of the canister in field `canister_id`.
    Canister,
    /// That of the canister in field `target_canister`.
    Receiver,
    /// That in field `subnet_id`.
    Subnet,
}

/// Where a call to `aaaaa-aa` has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    Own,
    SubnetOf(Principal),
    Subnet(Principal),
}

/// Finds the rule of a method by its name.
pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

/// Tells which subnet has to execute a management call.
///
/// # Errors
/// `UnknownMethod`, or `Payload` if the target can't be read from the argument.
pub fn destination(method: &str, argument: &[u8]) -> Result<Destination, Refusal> {
    let rule = rule(method).ok_or_else(|| Refusal::UnknownMethod(method.to_string()))?;
    destination_of(rule, argument)
}

/// The same with the rule at hand.
///
/// # Errors
/// `Payload` if the target can't be read from the argument.
pub fn destination_of(rule: &Rule, argument: &[u8]) -> Result<Destination, Refusal> {
    #[derive(CandidType, Deserialize)]
    struct OfCanister {
        canister_id: Principal,
        /// Named so that a large module is copied at once and not skipped byte by byte.
        wasm_module: Option<serde_bytes::ByteBuf>,
    }
    #[derive(CandidType, Deserialize)]
    struct OfPlainCanister {
        canister_id: Principal,
    }
    #[derive(CandidType, Deserialize)]
    struct OfTarget {
        target_canister: Principal,
    }
    #[derive(CandidType, Deserialize)]
    struct OfSubnet {
        subnet_id: Principal,
    }
    Ok(match rule.target {
        Target::Own => Destination::Own,
        Target::Canister if rule.method == Method::InstallCode => {
            let OfCanister { canister_id, wasm_module: _ } = payload::decode(argument)?;
            Destination::SubnetOf(canister_id)
        }
        Target::Canister => Destination::SubnetOf(payload::decode::<OfPlainCanister>(argument)?.canister_id),
        Target::Receiver => Destination::SubnetOf(payload::decode::<OfTarget>(argument)?.target_canister),
        Target::Subnet => Destination::Subnet(payload::decode::<OfSubnet>(argument)?.subnet_id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_the_table_once() {
        for (index, rule) in RULES.iter().enumerate() {
            assert_eq!(RULES.iter().position(|other| other.name == rule.name), Some(index), "{}", rule.name);
        }
    }

    #[test]
    fn a_target_is_read_from_the_argument() {
        let id = Principal::from_slice(&[7; 10]);
        let argument = payload::encode(&ic_management_canister_types::CanisterIdRecord { canister_id: id });
        assert_eq!(destination("stop_canister", &argument), Ok(Destination::SubnetOf(id)));
        assert_eq!(destination("raw_rand", &argument), Ok(Destination::Own));
    }

    #[test]
    fn an_unknown_method_and_a_broken_argument_are_told_apart() {
        assert!(matches!(destination("update", b""), Err(Refusal::UnknownMethod(_))));
        assert!(matches!(destination("stop_canister", b"no candid"), Err(Refusal::Payload(_))));
    }
}
