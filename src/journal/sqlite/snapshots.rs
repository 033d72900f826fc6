//! The snapshots' tables, and the index of VMs.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::Position;
use super::super::chain::Digest;
use super::super::error::ReplayError;
use super::super::snapshot::{Basis, Header, Headers, Snapshot};
use crate::model::VmId;

const COUNT: &str = "SELECT count(*) FROM records INDEXED BY records_by_vm \
                     WHERE vm = ?1 AND position > ?2 AND position <= ?3";
const KEEP: &str = "INSERT OR REPLACE INTO snapshots (vm, through, digest, code, released, length, sum, state) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

pub(super) fn count(db: &Connection, vm: VmId, after: Position, through: Position) -> Result<u64, ReplayError> {
    let unreadable = |error: rusqlite::Error| ReplayError::Unreadable { after, reason: error.to_string() };
    let Ok(from) = i64::try_from(after) else { return Ok(0) };
    let to = i64::try_from(through).unwrap_or(i64::MAX);
    let mut select = db.prepare_cached(COUNT).map_err(unreadable)?;
    let counted = select.query_row(params![vm.0.as_bytes().as_slice(), from, to], |row| row.get::<_, i64>(0));
    counted.map(i64::cast_unsigned).map_err(unreadable)
}

pub(super) fn basis(db: &Connection) -> Result<Option<Basis>, ReplayError> {
    let read =
        |row: &Row<'_>| Ok(Basis { base: unsigned(row, 0)?, digest: Digest(row.get(1)?), seal: Digest(row.get(2)?) });
    db.query_row("SELECT base, digest, seal FROM basis", [], read).optional().map_err(unreadable)
}

pub(super) fn headers(db: &Connection) -> Result<Headers, ReplayError> {
    let sql = "SELECT vm, through, digest, code, released, length, sum FROM snapshots";
    let mut select = db.prepare(sql).map_err(unreadable)?;
    let headers = select.query_map([], header).map_err(unreadable)?;
    headers.map(|header| header.map(|header| (header.vm, header)).map_err(unreadable)).collect()
}

pub(super) fn snapshot(db: &Connection, vm: VmId) -> Result<Option<Snapshot>, ReplayError> {
    let sql = "SELECT vm, through, digest, code, released, length, sum, state FROM snapshots WHERE vm = ?1";
    let read = |row: &Row<'_>| Ok(Snapshot { header: header(row)?, body: row.get(7)? });
    let mut select = db.prepare_cached(sql).map_err(unreadable)?;
    select.query_row([vm.0.as_bytes().as_slice()], read).optional().map_err(unreadable)
}

pub(super) fn keep(db: &mut Connection, snapshot: &Snapshot, basis: &Basis, alone: bool) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    if alone {
        transaction.execute("DELETE FROM snapshots", [])?;
    }
    let header = snapshot.header;
    transaction.prepare_cached(KEEP)?.execute(params![
        header.vm.0.as_bytes().as_slice(),
        header.through.cast_signed(),
        header.digest.0.as_slice(),
        header.code.cast_signed(),
        header.released,
        header.length.cast_signed(),
        header.sum.0.as_slice(),
        snapshot.body,
    ])?;
    transaction.execute(
        "INSERT OR REPLACE INTO basis (one, base, digest, seal) VALUES (1, ?1, ?2, ?3)",
        params![basis.base.cast_signed(), basis.digest.0.as_slice(), basis.seal.0.as_slice()],
    )?;
    transaction.commit()
}

fn header(row: &Row<'_>) -> rusqlite::Result<Header> {
    Ok(Header {
        vm: VmId(uuid::Uuid::from_bytes(row.get(0)?)),
        through: unsigned(row, 1)?,
        digest: Digest(row.get(2)?),
        code: unsigned(row, 3)?,
        released: row.get(4)?,
        length: unsigned(row, 5)?,
        sum: Digest(row.get(6)?),
    })
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

fn unreadable(error: rusqlite::Error) -> ReplayError {
    ReplayError::Unreadable { after: 0, reason: format!("the snapshots: {error}") }
}
