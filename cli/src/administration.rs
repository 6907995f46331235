//! `policy` and `roles`: what administrators set.

use canopy_types::api::ReadError;
use canopy_types::policy::{Policy, PolicyResult, SetPolicyArguments, SetPolicyError, SetPolicyResult, UploadPolicy};
use canopy_types::roles::{Grant, GrantError, GrantResult, RevokeError, RevokeResult, Role, RolesResult};
use clap::{Args, Subcommand, ValueEnum};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

use crate::connection::{Connection, parse_principal};
use crate::failure::Failure;
use crate::shown::{confirm, grouped, key_json, key_text, parse_key, print_line, table};

/// Who is meant when a role is for all callers.
const EVERYONE: &str = "everyone";

/// What can be done about settings.
#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Shows the settings.
    Show,
    /// Changes settings; what isn't named stays.
    #[command(
        arg_required_else_help = true,
        after_help = "Examples:\n  canopy policy set --operations-per-minute 6000\n  canopy policy set --bytes-per-minute 0    lifts the limit"
    )]
    Set {
        /// Updates that each caller may ask for per minute, 1 to 1,000,000,000; 0 lifts the limit.
        #[arg(long, value_name = "OPERATIONS")]
        operations_per_minute: Option<u64>,
        /// Bytes that each caller may send and be sent per minute, 2 MiB to 1 PiB; 0 lifts the limit.
        #[arg(long, value_name = "BYTES")]
        bytes_per_minute: Option<u64>,
        #[command(flatten)]
        uploads: UploadSettings,
    },
}

/// What can be done about roles.
#[derive(Subcommand)]
pub enum RolesCommand {
    /// Shows who has which role.
    List,
    /// Gives a role.
    #[command(
        after_help = "Examples:\n  canopy roles grant writer rdmx6-jaaaa-aaaaa-aaadq-cai\n  canopy roles grant reader everyone --prefix public/"
    )]
    Grant(GrantOptions),
    /// Takes a role away. Shards follow within 10 minutes at most.
    Revoke {
        #[command(flatten)]
        grant: GrantOptions,
        /// Don't ask.
        #[arg(short, long)]
        yes: bool,
    },
}

/// A role, whose it is, and for which keys.
#[derive(Args)]
#[group(skip)]
pub struct GrantOptions {
    /// The role.
    role: RoleName,
    /// A principal, or `everyone` (who may only read).
    who: String,
    /// Only for keys that begin with this.
    #[arg(short, long)]
    prefix: Option<String>,
    /// The prefix is in hexadecimal.
    #[arg(long, requires = "prefix")]
    hex: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleName {
    /// May get and scan.
    Reader,
    /// May put and delete, too.
    Writer,
    /// May do everything, and controls the shards.
    Administrator,
}

/// Settings of uploads; what isn't named stays.
#[derive(Args, Clone, Copy)]
#[group(skip)]
pub struct UploadSettings {
    /// Uploads of large values that each caller may have open, 1 to 4,096.
    #[arg(long, value_name = "COUNT")]
    open_uploads: Option<u64>,
    /// Bytes that each caller may have in open uploads, 1 MiB to 1 PiB.
    #[arg(long, value_name = "BYTES")]
    open_upload_bytes: Option<u64>,
    /// Minutes for which an upload takes chunks, 1 to 43,200.
    #[arg(long, value_name = "MINUTES")]
    upload_minutes: Option<u64>,
    /// Minutes for which chunks stay once their value was replaced, 1 to 43,200.
    #[arg(long, value_name = "MINUTES")]
    chunk_minutes: Option<u64>,
}

impl UploadSettings {
    fn is_any(self) -> bool {
        let settings = [self.open_uploads, self.open_upload_bytes, self.upload_minutes, self.chunk_minutes];
        settings.iter().any(Option::is_some)
    }

    fn change(self, policy: UploadPolicy) -> UploadPolicy {
        let milliseconds = |minutes: u64| minutes.saturating_mul(60_000);
        UploadPolicy {
            open_uploads_max: self.open_uploads.unwrap_or(policy.open_uploads_max),
            open_bytes_max: self.open_upload_bytes.unwrap_or(policy.open_bytes_max),
            open_milliseconds: self.upload_minutes.map_or(policy.open_milliseconds, milliseconds),
            kept_milliseconds: self.chunk_minutes.map_or(policy.kept_milliseconds, milliseconds),
        }
    }
}

/// Shows or changes the settings.
pub async fn policy(connection: &Connection, command: PolicyCommand, json: bool) -> Result<(), Failure> {
    let session = connection.open().await?;
    let policy = match command {
        PolicyCommand::Show => session.ask::<PolicyResult>("policy").await?.map_err(not_allowed)?,
        PolicyCommand::Set { operations_per_minute, bytes_per_minute, uploads } => {
            let uploads = match uploads.is_any() {
                true => {
                    let policy = session.ask::<PolicyResult>("policy").await?.map_err(not_allowed)?;
                    Some(uploads.change(policy.upload_policy()))
                }
                false => None,
            };
            let arguments = SetPolicyArguments {
                operations_per_minute_max: operations_per_minute,
                bytes_per_minute_max: bytes_per_minute,
                uploads,
                ..SetPolicyArguments::default()
            };
            let set = session.call::<_, SetPolicyResult>("set_policy", &arguments).await?;
            set.map_err(|error| match error {
                SetPolicyError::Unauthorised { caller } => Failure::refused(format!("{caller} is no administrator")),
                SetPolicyError::OutOfBounds { setting, value, value_min, value_max } => Failure::refused(format!(
                    "{setting} can't be {value}: {value_min} to {value_max}, or 0 for no limit"
                )),
                SetPolicyError::MergeAboveHalfOfSplit { merge_below_record_bytes, merge_below_record_bytes_max } => {
                    Failure::refused(format!(
                        "merge_below_record_bytes can't be {merge_below_record_bytes}: half of split_at_record_bytes, \
                         {merge_below_record_bytes_max}, at most"
                    ))
                }
                SetPolicyError::MalformedArguments { reason } => Failure::network(reason),
            })?
        }
    };
    show_policy(&policy, json)
}

fn show_policy(policy: &Policy, json: bool) -> Result<(), Failure> {
    let uploads = policy.upload_policy();
    let settings = [
        ("operations_per_minute_max", policy.operations_per_minute_max),
        ("bytes_per_minute_max", policy.bytes_per_minute_max),
        ("open_uploads_max", Some(uploads.open_uploads_max)),
        ("open_upload_bytes_max", Some(uploads.open_bytes_max)),
        ("upload_open_milliseconds", Some(uploads.open_milliseconds)),
        ("chunks_kept_milliseconds", Some(uploads.kept_milliseconds)),
    ];
    if json {
        let fields = settings.map(|(name, value)| (name.to_string(), json!(value)));
        return print_line(Value::Object(fields.into_iter().collect()));
    }
    let mut lines = table(&["setting", "value"], 1);
    for (name, value) in settings {
        lines.add_row([name.to_string(), value.map_or("no limit".to_string(), grouped)]);
    }
    print_line(lines)
}

/// Shows, gives or takes away roles.
pub async fn roles(connection: &Connection, command: RolesCommand, json: bool) -> Result<(), Failure> {
    match command {
        RolesCommand::List => {
            let session = connection.open().await?;
            let roles = session.ask::<RolesResult>("roles").await?.map_err(not_allowed)?;
            list(&roles.grants, json)
        }
        RolesCommand::Grant(options) => {
            let grant = options.grant()?;
            let session = connection.open().await?;
            session.call::<_, GrantResult>("grant", &grant).await?.map_err(grant_failure)?;
            told(&grant, "granted", json)
        }
        RolesCommand::Revoke { grant, yes } => {
            let grant = grant.grant()?;
            confirm(&format!("take away {}?", text(&grant)), yes)?;
            let session = connection.open().await?;
            session.call::<_, RevokeResult>("revoke", &grant).await?.map_err(revoke_failure)?;
            told(&grant, "revoked", json)
        }
    }
}

impl GrantOptions {
    fn grant(&self) -> Result<Grant, Failure> {
        let grantee = if self.who == EVERYONE { None } else { Some(parse_principal(&self.who)?) };
        let role = match self.role {
            RoleName::Reader => Role::Reader,
            RoleName::Writer => Role::Writer,
            RoleName::Administrator => Role::Administrator,
        };
        let prefix = self.prefix.as_deref().map(|prefix| parse_key(prefix, self.hex)).transpose()?;
        Ok(Grant { grantee, role, prefix: prefix.map(ByteBuf::from) })
    }
}

fn list(grants: &[Grant], json: bool) -> Result<(), Failure> {
    if json {
        return print_line(Value::Array(grants.iter().map(grant_json).collect()));
    }
    let mut lines = table(&["who", "role", "keys"], 3);
    for grant in grants {
        let keys = grant.prefix.as_ref().map_or("all".to_string(), |prefix| format!("{}*", key_text(prefix)));
        lines.add_row([who(grant), role_name(grant.role).to_string(), keys]);
    }
    print_line(lines)
}

fn told(grant: &Grant, done: &str, json: bool) -> Result<(), Failure> {
    if json { print_line(json!({ done: grant_json(grant) })) } else { print_line(format!("{done}: {}", text(grant))) }
}

fn who(grant: &Grant) -> String {
    grant.grantee.map_or(EVERYONE.to_string(), |principal| principal.to_text())
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Reader => "reader",
        Role::Writer => "writer",
        Role::Administrator => "administrator",
    }
}

fn text(grant: &Grant) -> String {
    let keys = grant.prefix.as_ref().map_or(String::new(), |prefix| format!(" of keys {}*", key_text(prefix)));
    format!("{} for {}{keys}", role_name(grant.role), who(grant))
}

fn grant_json(grant: &Grant) -> Value {
    json!({
        "who": who(grant),
        "role": role_name(grant.role),
        "prefix": grant.prefix.as_ref().map(|prefix| Value::Object(key_json(prefix))),
    })
}

/// Says that only others may read this.
pub fn not_allowed(ReadError::Unauthorised { caller }: ReadError) -> Failure {
    Failure::refused(format!("{caller} may not see that"))
}

fn grant_failure(error: GrantError) -> Failure {
    let at_most = |what: &str, max: u64| Failure::refused(format!("there are as many {what} as may be: {max}"));
    match error {
        GrantError::Unauthorised { caller } => Failure::refused(format!("{caller} is no administrator")),
        GrantError::MalformedArguments { reason } => Failure::network(reason),
        GrantError::TooManyGrants { grants_max, .. } => at_most("grants", grants_max),
        GrantError::TooManyGrantsOfOne { grants_max, .. } => at_most("grants of one grantee", grants_max),
        GrantError::TooManyAdministrators { administrators_max, .. } => at_most("administrators", administrators_max),
        GrantError::TooManyPrefixBytes { bytes_max, .. } => at_most("bytes of prefixes", bytes_max),
        GrantError::PrefixTooLong { bytes, bytes_max } => {
            Failure::refused(format!("the prefix has {bytes} bytes, and a prefix has at most {bytes_max}"))
        }
        GrantError::PrefixEmpty => Failure::refused("the prefix is empty; leave it out to mean all keys"),
        GrantError::PrefixOfAdministrator => Failure::refused("who administers has all keys; leave the prefix out"),
        GrantError::EveryoneOnlyReads => Failure::refused("everyone can only be a reader"),
        GrantError::AnonymousOnlyReads => {
            Failure::refused("the anonymous principal is anybody, who can only be a reader")
        }
    }
}

fn revoke_failure(error: RevokeError) -> Failure {
    match error {
        RevokeError::Unauthorised { caller } => Failure::refused(format!("{caller} is no administrator")),
        RevokeError::MalformedArguments { reason } => Failure::network(reason),
        RevokeError::NoSuchGrant => Failure::refused("there is no such grant; `canopy roles list` shows all"),
        RevokeError::LastAdministrator => {
            Failure::refused("only a controller of the router may revoke the last administrator")
        }
    }
}
