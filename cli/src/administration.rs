//! `roles`: who may do what.

use canopy_types::api::ReadError;
use canopy_types::roles::{Grant, GrantError, GrantResult, RevokeError, RevokeResult, Role, RolesResult};
use clap::{Args, Subcommand, ValueEnum};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

use crate::connection::{Connection, parse_principal};
use crate::failure::Failure;
use crate::shown::{confirm, key_json, key_text, parse_key, print_line, print_table, table};

/// Who is meant when a role is for all callers.
const EVERYONE: &str = "everyone";

/// What can be done about roles.
#[derive(Subcommand)]
pub enum RolesCommand {
    /// Shows who has which role.
    #[command(after_help = "Examples:\n  canopy roles list\n  canopy roles list --json")]
    List,
    /// Gives a role.
    #[command(
        after_help = "Examples:\n  canopy roles grant writer rdmx6-jaaaa-aaaaa-aaadq-cai\n  canopy roles grant reader everyone --prefix public/"
    )]
    Grant(GrantOptions),
    /// Takes a role away. Shards follow within 10 minutes at most.
    #[command(after_help = "Examples:\n  canopy roles revoke writer rdmx6-jaaaa-aaaaa-aaadq-cai --prefix app/")]
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
            confirm(&format!("take away {}?", text(&grant)), yes).await?;
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
    print_table(&lines)
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
