//! A screen's picture as PNG, whatever the hypervisor gave.

/// Why a picture is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MakePictureError {
    /// Neither PNG nor PPM.
    #[error("the hypervisor gave a picture of the type {0:?}")]
    Unknown(String),
    /// What it says of itself does not fit.
    #[error("the hypervisor gave a picture that cannot be read: {0}")]
    Garbled(String),
}

/// The longest side. *Units*: pixels.
const SIDE_MAX: u32 = 16_384;

/// The picture as PNG.
pub(crate) fn png_of(media_type: &str, bytes: Vec<u8>) -> Result<Vec<u8>, MakePictureError> {
    match media_type {
        "image/png" => Ok(bytes),
        "image/x-portable-pixmap" => from_ppm(&bytes),
        other => Err(MakePictureError::Unknown(other.chars().take(64).collect())),
    }
}

/// *Source*: the binary PPM of netpbm (`P6`), as QEMU writes it.
fn from_ppm(bytes: &[u8]) -> Result<Vec<u8>, MakePictureError> {
    let garbled = |what: &str| MakePictureError::Garbled(what.to_owned());
    let mut rest = bytes.strip_prefix(b"P6").ok_or_else(|| garbled("it is no binary PPM"))?;
    let mut numbers = [0_u32; 3];
    for number in &mut numbers {
        (*number, rest) = next_number(rest).ok_or_else(|| garbled("its head ends early"))?;
    }
    let [width, height, depth] = numbers;
    if width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX || depth != 255 {
        return Err(garbled("its size or depth is none that a screen has"));
    }
    // One blank is between the head and the pixels.
    let pixels = rest.get(1..).unwrap_or_default();
    let length = usize::try_from(u64::from(width) * u64::from(height) * 3).unwrap_or(usize::MAX);
    let pixels = pixels.get(..length).ok_or_else(|| garbled("it has fewer pixels than it says"))?;
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(pixels)?;
        writer.finish()
    });
    written.map_err(|error| MakePictureError::Garbled(error.to_string()))?;
    Ok(out)
}

/// The number that comes next, after blanks and comments.
fn next_number(mut bytes: &[u8]) -> Option<(u32, &[u8])> {
    loop {
        match bytes.first()? {
            b'#' => bytes = bytes.get(bytes.iter().position(|byte| *byte == b'\n')?..)?,
            byte if byte.is_ascii_whitespace() => bytes = bytes.get(1..)?,
            _ => break,
        }
    }
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = bytes.split_at(end);
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixmap_keeps_every_pixel() {
        let mut ppm = b"P6\n# by QEMU\n2 1\n255\n".to_vec();
        ppm.extend_from_slice(&[255, 0, 0, 0, 0, 255]);
        let made = png_of("image/x-portable-pixmap", ppm).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(made)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (2, 1));
        assert_eq!(&pixels[..6], [255, 0, 0, 0, 0, 255]);
    }

    #[test]
    fn a_picture_that_lies_about_itself_is_refused() {
        for ppm in ["", "P6", "P6 1 1 255", "P6 2 2 255 abc", "P6 0 1 255 ", "P6 99999 1 255 ", "P6 1 1 65535 abcdef"] {
            png_of("image/x-portable-pixmap", ppm.as_bytes().to_vec()).unwrap_err();
        }
        assert_eq!(png_of("text/html", Vec::new()), Err(MakePictureError::Unknown("text/html".to_owned())));
    }
}
