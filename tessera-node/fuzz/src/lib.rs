//! What the fuzz targets share.

pub mod disk;
pub mod http;
