//! libvirt's typed parameters: names with numbers or texts.

use crate::doors::rpc::xdr::{ReadXdrError, Reader};

/// More than any of libvirt's lists may have.
const PARAMETERS_MAX: u32 = 256;

/// A parameter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameter<'a> {
    pub(super) name: &'a str,
    pub(super) value: Value<'a>,
}

/// Its value. Numbers are what they are, whatever their width: libvirt looks at that.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
}

/// Reads a list of them. *Source*: `remote_typed_param`, `virTypedParameterType`.
pub(super) fn read<'a>(reader: &mut Reader<'a>) -> Result<Vec<Parameter<'a>>, ReadXdrError> {
    let count = reader.count(PARAMETERS_MAX)?;
    (0..count).map(|_| parameter(reader)).collect()
}

fn parameter<'a>(reader: &mut Reader<'a>) -> Result<Parameter<'a>, ReadXdrError> {
    let name = text(reader)?;
    let value = match reader.u32()? {
        1 => Value::Signed(reader.i32()?.into()),
        2 => Value::Unsigned(reader.u32()?.into()),
        3 => Value::Signed(reader.i64()?),
        4 => Value::Unsigned(reader.u64()?),
        5 => Value::Float(f64::from_bits(reader.u64()?)),
        6 => Value::Signed(reader.i32()?.into()),
        7 => Value::Text(text(reader)?),
        other => return Err(ReadXdrError::NoSuchValue(other)),
    };
    Ok(Parameter { name, value })
}

/// A text. libvirt takes any bytes up to the first zero: what is read here must be what libvirt reads, or which file or
/// VM it names could be told wrongly.
pub(super) fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, ReadXdrError> {
    let text = reader.string()?;
    if text.contains('\0') { Err(ReadXdrError::NoSuchValue(0)) } else { Ok(text) }
}

/// The text of this name; none when it is not there once.
pub(super) fn text_of<'p>(parameters: &'p [Parameter<'_>], name: &str) -> Option<&'p str> {
    match &one(parameters, name)?.value {
        Value::Text(text) => Some(text),
        Value::Signed(_) | Value::Unsigned(_) | Value::Float(_) => None,
    }
}

/// The number of this name; none when it is not there once.
pub(super) fn number_of(parameters: &[Parameter<'_>], name: &str) -> Option<u64> {
    match &one(parameters, name)?.value {
        Value::Unsigned(number) => Some(*number),
        Value::Signed(number) => u64::try_from(*number).ok(),
        Value::Float(_) | Value::Text(_) => None,
    }
}

fn one<'p, 'a>(parameters: &'p [Parameter<'a>], name: &str) -> Option<&'p Parameter<'a>> {
    let mut named = parameters.iter().filter(|parameter| parameter.name == name);
    named.next().filter(|_| named.next().is_none())
}
