//! A picture to bytes in the paper's patch scan and back, pixel for pixel: `cargo run --release --example
//! image_roundtrip`.

use std::io::Cursor;

use megabyte::modality::{ImageLayout, Layout};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A picture of our own: two gradients and a disc.
    let picture = image::RgbImage::from_fn(64, 64, |x, y| {
        let inside = (x as i32 - 32).pow(2) + (y as i32 - 32).pow(2) < 400;
        image::Rgb([4 * x as u8, 4 * y as u8, if inside { 255 } else { 0 }])
    });
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png)?;

    let layout = Layout::Image(ImageLayout { width: 64, height: 64, patch: 8, ..ImageLayout::default() });
    let adapter = layout.adapter();
    let bytes = adapter.encode(png.get_ref())?;
    println!("{} bytes of PNG are {} bytes for the model", png.get_ref().len(), bytes.len());
    println!("a patch is {} bytes, the first begins {:?}", adapter.patch_size(), &bytes[..9]);

    let back = image::load_from_memory(&adapter.decode(&bytes)?)?.to_rgb8();
    assert_eq!(back, picture);
    println!("decoded again, every pixel is what it was");
    Ok(())
}
