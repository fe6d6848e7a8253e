//! The proofs about refresh-token families: a model beside the real thing, games against thieves, races.

mod clocks;
mod model;
mod races;
mod reference;
mod thief;
mod together;
