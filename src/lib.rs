//! wip
pub mod decide;
pub mod http;
pub mod connect;
pub mod store;
