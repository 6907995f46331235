use super::*;

/// Lists the commands that do something, with their help texts.
fn leaves(command: &clap::Command) -> Vec<(String, String)> {
    if command.has_subcommands() {
        return command.get_subcommands().flat_map(leaves).collect();
    }
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    vec![(command.get_name().to_string(), help)]
}

#[test]
fn the_command_line_contradicts_itself_nowhere() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_is_shown_by_examples() {
    let commands = leaves(&Arguments::command());
    assert!(commands.len() > 20, "{commands:?}");
    for (name, help) in commands {
        assert!(help.starts_with("Examples:\n  canopy ") && help.contains(&name), "{name}: {help}");
    }
}

#[test]
fn every_command_says_where_the_exit_codes_are() {
    for (name, help) in leaves(&with_pointers(Arguments::command())) {
        assert!(
            help.starts_with("Examples:\n") && help.ends_with(&format!("\n\n{WHERE_EXIT_CODES_ARE}")),
            "{name}: {help}"
        );
    }
}
