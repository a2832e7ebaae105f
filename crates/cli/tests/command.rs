//! The program itself, run as a user runs it.

mod command {
    mod bad_input;
    mod beacon;
    mod decode;
    mod described;
    mod doctor;
    mod feeds;
    mod interfaces;
    mod interrupts;
    mod places;
    mod process;
    mod reference;
    mod runs;
    mod shortages;
    mod terminal;
    mod transfers;
}
