//! What holds of every valid trace: the validator of the tests on reading.

#[path = "../reading/validator/facts.rs"]
#[allow(dead_code)]
pub mod facts;
#[path = "../reading/validator/model.rs"]
#[allow(dead_code)]
pub mod model;
