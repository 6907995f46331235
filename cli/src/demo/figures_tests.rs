use super::*;

fn figures(instructions: impl IntoIterator<Item = u64>) -> Figures {
    let mut figures = Figures::default();
    for instructions in instructions {
        figures.record(Some(Use { instructions, ..Use::default() }));
    }
    figures
}

fn instructions(used: &Use) -> u128 {
    used.instructions.into()
}

#[test]
fn percentiles_are_measured_values_by_nearest_rank() {
    assert_eq!(figures((1..=200).rev()).median_and_p99(instructions), Some((100, 198)));
    assert_eq!(figures([7]).median_and_p99(instructions), Some((7, 7)));
}

#[test]
fn nothing_measured_has_no_percentiles() {
    assert_eq!(figures([]).median_and_p99(instructions), None);
}

#[test]
fn what_something_else_disturbed_is_not_measured() {
    let before = Reading { instructions: 10, balance: 100, messages: 7 };
    let after = Reading { instructions: 30, balance: 95, messages: 10 };
    assert_eq!(after.since(&before), Some(Use { instructions: 20, cycles: 5, messages: 3 }));
    assert_eq!(Reading { messages: 11, ..after }.since(&before), None);
    assert_eq!(Reading { balance: 101, ..after }.since(&before), None);
}
