//! What a call names of the host: by every text in it, wherever it is. What a text is for need not be known; a provider that
//! is confined may send none that names what is not its VM's.

use super::call::Call;
use super::parameters::text_of;
use crate::delegation::confinement::Asked;
use crate::doors::rpc::procedures::find;
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::Action;

/// A saved image has the definition in it that the VM is started with.
const SAVED_IMAGE: &str = "a saved image by its file, which holds a definition of its own";

/// What a call under an action names.
#[must_use]
pub fn asked(program: u32, procedure: u32, action: Action, payload: &[u8]) -> Asked {
    let named = Asked::of_texts(action, texts(payload));
    let Some(procedure) = find(program, procedure) else { return named };
    match procedure.name {
        "domain_restore" | "domain_restore_flags" | "domain_restore_params" | "domain_save_image_define_xml" => {
            Asked::never(SAVED_IMAGE)
        }
        "domain_save" | "domain_save_flags" | "domain_core_dump" | "domain_core_dump_with_format" => {
            and_file(named, first_text(Call::new(procedure, payload)))
        }
        "domain_save_params" => and_file(named, file_parameter(Call::new(procedure, payload))),
        // The same procedure copies a disk into a file.
        "domain_block_rebase" if action == Action::BlockCopy => {
            and_file(named, base_of_rebase(Call::new(procedure, payload)))
        }
        _ => named,
    }
}

/// libvirtd takes a relative path from its own folder.
fn and_file(named: Asked, file: Result<Option<String>, ReadXdrError>) -> Asked {
    match file {
        Ok(Some(file)) => named.and_file(&file),
        Ok(None) => named,
        Err(_) => Asked::never("a file that cannot be read in the call"),
    }
}

fn first_text(mut call: Call<'_>) -> Result<Option<String>, ReadXdrError> {
    call.vm()?;
    Ok(Some(call.text()?.to_owned()))
}

fn file_parameter(mut call: Call<'_>) -> Result<Option<String>, ReadXdrError> {
    call.vm()?;
    Ok(text_of(&call.parameters()?, "file").map(str::to_owned))
}

fn base_of_rebase(mut call: Call<'_>) -> Result<Option<String>, ReadXdrError> {
    call.vm()?;
    call.text()?;
    Ok(call.optional_text()?.map(str::to_owned))
}

/// Every text in a payload: what at a place for a length has so many bytes behind it that are text. More is found than is
/// there, and nothing less: XDR aligns every length to four bytes.
fn texts(payload: &[u8]) -> impl Iterator<Item = &str> {
    (0..payload.len()).step_by(4).filter_map(|at| {
        let (length, rest) = payload.get(at..)?.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        // Most places hold no length; the first byte tells most of them apart before all are looked at.
        let text = rest.get(..length).filter(|text| text.first().is_some_and(|first| *first != 0))?;
        std::str::from_utf8(text).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_found_wherever_it_is() {
        let mut payload = Vec::new();
        for text in ["web", "/etc/shadow", "<disk/>"] {
            payload.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
            payload.extend(text.bytes());
            payload.resize(payload.len().next_multiple_of(4), 0);
            payload.extend([0, 0, 0, 1]);
        }
        let found: Vec<&str> = texts(&payload).collect();
        for text in ["web", "/etc/shadow", "<disk/>"] {
            assert!(found.contains(&text), "{found:?}");
        }
        assert_eq!(texts(&[0xff; 7]).count() + texts(&[]).count() + texts(&[0, 0, 0, 9, b'/']).count(), 0);
    }
}
