//! Hard inputs: what users of other tools reported as broken, one test a row of the table that the names quote.
//!
//! T is for timelines, P for pictures, D for structure and damage. Clips are made here by the row's recipe, small;
//! real footage from `STILLFRAME_MEDIA` that shows the same is judged too where it is there.

#[path = "hard_inputs/boxes.rs"]
mod boxes;
mod common;
#[path = "hard_inputs/damage.rs"]
mod damage;
#[path = "hard_inputs/pictures.rs"]
mod pictures;
#[path = "hard_inputs/shapes.rs"]
mod shapes;
#[path = "hard_inputs/structure.rs"]
mod structure;
#[path = "hard_inputs/timeline.rs"]
mod timeline;
#[path = "hard_inputs/tools.rs"]
mod tools;
#[path = "hard_inputs/walks.rs"]
mod walks;
