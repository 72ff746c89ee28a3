//! The claim loop over a real store and a clock set by hand.
