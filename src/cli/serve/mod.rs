//! `msdcam serve`: a page on the loopback address that explains photos.
//!
//! [`http`] reads requests, [`access`] admits the page's own, [`routes`] answers them: [`photos`] are prepared,
//! a [`question`] becomes the job of an `explain` command, [`computing`] explains, and [`view`] is what the page is told.
//! What may be asked for again is [`kept`], within limits.

mod access;
mod computing;
pub mod fuzzing;
mod http;
mod kept;
mod models;
mod page;
mod photos;
mod question;
mod routes;
mod view;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use crate::Result;
use crate::error::Error;

use access::Access;
use computing::Computing;
use models::ServedModel;
use photos::Photos;
use routes::Server;

use super::exit_status::Outcome;
use super::model::LoadingArgs;
use super::output;
use super::output::Output;

/// The port that is taken if it is free and none is given.
const PORT: u16 = 8417;

/// Explain photos on a page in the browser
///
/// The page is served on the loopback address 127.0.0.1 only, to those who have the address that is printed. Drop,
/// paste or choose photos; compare exits, classes, methods, networks and photos; download pictures and arrays, and
/// copy the command that makes them. Photos stay in memory: nothing is written to the disk. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Weights files made by `msdcam convert`, or ONNX files of convolutional networks, which the page chooses from; the
    /// option may be repeated [default: a built-in CIFAR-10 network with ten exits]
    #[arg(long, value_name = "FILE", num_args = 1.., action = clap::ArgAction::Append)]
    weights: Vec<PathBuf>,
    /// Port of the page [default: 8417, or if that is taken, a free one]
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    loading: LoadingArgs,
}

/// Serves the page until a signal ends the process.
///
/// # Errors
/// When a model or the device cannot be used, or the port is taken.
pub fn run(args: &Args) -> Result<Outcome> {
    let listener = listen(args.port)?;
    let port = listener.local_addr().map_err(|e| cannot_listen(args.port.unwrap_or(PORT), &e))?.port();
    let load = |weights: Option<&Path>| ServedModel::load(weights, &args.loading);
    let models = match &args.weights[..] {
        [] => vec![load(None)?],
        files => files.iter().map(|file| load(Some(file))).collect::<Result<_>>()?,
    };
    models.iter().for_each(|model| model.loaded.announce());
    let access = Access::new(port)?;
    let address = access.address();
    let server = Server { access, models, photos: Photos::new(), computing: Computing::new() };
    server.warm_up()?;
    if !server.models[0].loaded.quiet {
        output::note("open this address in a browser; Ctrl-C ends the server");
    }
    Output::default().print(&format!("{address}\n"))?;
    if args.open
        && let Err(e) = open::that_detached(&address)
    {
        output::note(&format!("cannot open a browser: {e}"));
    }
    http::serve(&listener, &server).map_err(|e| cannot_listen(port, &e))?;
    Ok(Outcome::AllDone)
}

/// Listens on a port of the loopback address.
fn listen(port: Option<u16>) -> Result<TcpListener> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = match port {
        Some(port) => bind(port),
        None => bind(PORT).or_else(|_| bind(0)),
    };
    listener.map_err(|e| cannot_listen(port.unwrap_or(PORT), &e))
}

fn cannot_listen(port: u16, error: &std::io::Error) -> Error {
    Error::usage(format!("port {port} of 127.0.0.1: {error}"))
}
