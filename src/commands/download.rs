//! `megabyte download`: a data set by its card.

use anyhow::{Context, bail};
use megabyte::Error;
use megabyte::data::download::{Card, Outcome, card, download};
use megabyte::progress::Progress;

use crate::cli::DownloadArgs;

/// Obtains a card's data, or lists the cards.
pub fn run(args: DownloadArgs, progress: &dyn Progress) -> anyhow::Result<()> {
    let (Some(name), false) = (&args.card, args.list) else {
        return list();
    };
    let card = card::find(name)?;
    let out = args.out.context("--out DIR is needed: the folder to write")?;
    match download(&card, &out, progress)? {
        Outcome::Fetched(path) => println!("{}: {}, checked", path.display(), contents(&card)),
        Outcome::AlreadyThere(path) => println!("{}: {}, already there and right", path.display(), contents(&card)),
        Outcome::Stopped => {
            progress.note(&format!("the same command goes on from what is in {}/.partial", out.display()));
            bail!(Error::Interrupted);
        }
    }
    println!("licence: {}; {}", card.licence, card.attribution);
    Ok(())
}

fn contents(card: &Card) -> String {
    format!("{} items, {} bytes", card.items, card.bytes)
}

fn list() -> anyhow::Result<()> {
    let cards = card::list()?;
    if cards.is_empty() {
        bail!(
            "there are no cards in ./datasets or beside the program; give a card's path, such as datasets/enwik8.toml"
        );
    }
    for Card { name, modality, bytes, licence, title, .. } in cards {
        let size = bytes as f64 / 1e6;
        println!("{name:<10} {modality:<6} {size:>6.1} MB  {title} ({licence})");
    }
    Ok(())
}
