use super::*;

const BALANCED: Books = Books { given: 100, balances: 60, in_flight: 10, spent: 25, lost: 5, risked: 5 };

#[test]
fn books_that_balance_are_accepted() {
    assert_eq!(check(&BALANCED), Ok(()));
    assert_eq!(check(&Books::default()), Ok(()));
}

#[test]
fn cycles_out_of_nothing_are_refused() {
    let books = Books { balances: 61, ..BALANCED };
    assert_eq!(check(&books), Err(Fault::NotConserved { books }));
}

#[test]
fn cycles_that_vanished_are_refused() {
    let books = Books { in_flight: 9, ..BALANCED };
    assert_eq!(check(&books), Err(Fault::NotConserved { books }));
}

#[test]
fn cycles_that_the_service_lost_are_refused() {
    let books = Books { risked: 4, ..BALANCED };
    assert_eq!(check(&books), Err(Fault::ServiceLost { books }));
}
