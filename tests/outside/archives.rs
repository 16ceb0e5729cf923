//! Archives of the shared development data.

use megabyte::density::archive::{Codec, CompressOptions, Container, DecompressOptions, container_of};
use megabyte::modality::{ImageLayout, Layout, Scan, TextLayout};
use megabyte::model::Megabyte;
use megabyte::progress::Quiet;
use tch::Kind;

use super::{Done, files};
use crate::common;

/// What the model makes larger than the file is not stored: it is the model that is tested.
fn options() -> CompressOptions {
    CompressOptions { store_larger: false, verify: false, ..CompressOptions::default() }
}

/// A codec of a small model whose predictions are sharp and wrong.
fn codec(layout: Layout) -> Codec {
    let config = common::models::hierarchy(&[(4, 16, 1, 2), (1, 8, 1, 2)], 64);
    let mut model = Megabyte::new(&config, Kind::Float, common::device::device(), 0).unwrap();
    common::models::randomise(&model, 1, 0.3);
    model.freeze();
    Codec::new(layout, model).unwrap()
}

pub fn texts_come_back() -> Done {
    let codec = codec(Layout::Text(TextLayout::default()));
    let mut texts = Vec::new();
    for path in files(&["data/text/source-code", "data/bad/odd-bytes"])? {
        let mut file = std::fs::read(path).unwrap();
        file.truncate(3000);
        texts.push(file);
    }
    texts.truncate(60);
    let checked = CompressOptions { verify: true, threads: 2, ..options() };
    for (made, file) in codec.compress(&texts, checked, &Quiet).unwrap().iter().zip(&texts) {
        assert_eq!(made.content, *file, "text is what it is");
    }
    Ok(())
}

pub fn pictures_come_back() -> Done {
    let pngs = files(&["data/images/imagenet64_png"])?;
    let pngs: Vec<Vec<u8>> = pngs.iter().take(40).map(|path| std::fs::read(path).unwrap()).collect();
    let layout = ImageLayout { width: 64, height: 64, patch: 4, scan: Scan::Patch, ..ImageLayout::default() };
    let codec = codec(Layout::Image(layout));
    let found = pngs.iter().filter(|file| container_of(file, codec.layout()) == Container::Png).count();
    assert_eq!(found, pngs.len(), "all are taken apart");
    // A few of them, and as a batch.
    for (made, file) in codec.compress(&pngs[..pngs.len().min(4)], options(), &Quiet).unwrap().iter().zip(&pngs) {
        let restored =
            codec.decompress(&[&made.archive], DecompressOptions::default(), &Quiet).unwrap().remove(0).unwrap();
        assert_eq!(restored.damage, []);
        assert_eq!(restored.file, *file);
    }
    Ok(())
}
