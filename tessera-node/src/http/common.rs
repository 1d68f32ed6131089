//! What Q2T and P2P have in common: who answers here, in which version.

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use tessera_enclave::codec::versions::ApiVersions;

use super::problem::Problem;
use super::reply::{self, Reply};
use super::router::Route;

/// The version of this node. A ledger node assumes an ancient manager where this is empty.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The routes that both servers have.
pub(crate) fn routes<A>() -> Vec<Route<A>> {
    vec![
        Route::get("/", "root", |_, _| text("")),
        Route::get("/upcheck", "upcheck", |_, _| text("I'm up!")),
        Route::get("/version", "version", |_, _| text(VERSION)),
        Route::get("/version/distribution", "version", |_, _| text(VERSION)),
        Route::get("/version/api", "version_api", |_, _| {
            let numbers = serde_json::Value::from(ApiVersions::numbers().to_vec());
            ready(Ok(reply::ok("application/json", numbers.to_string()))).boxed()
        }),
    ]
}

fn text<'a>(text: &'static str) -> BoxFuture<'a, Result<Reply, Problem>> {
    ready(Ok(reply::ok("text/plain", text))).boxed()
}
