//! Batches of writes.

use canopy_types::{DeleteReply, PutReply};

use crate::client::{Client, check_items, check_keys};
use crate::outcome::{NotDone, WriteError};
use crate::transport::Transport;
use crate::write::{Delete, Put, Write};

impl<T: Transport> Client<T> {
    /// Stores many values, and gives a result for each in their order. They are cut into messages and done in parallel,
    /// so some may be done and others not.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, NotDone, Put};
    ///
    /// async fn load<T: Transport>(client: &Client<T>, lines: &[&str]) -> Result<usize, NotDone> {
    ///     let puts = lines.iter().enumerate().map(|(number, line)| Put::new(format!("line {number}"), *line));
    ///     let results = client.put_many(puts.collect()).await?;
    ///     Ok(results.iter().filter(|result| result.is_ok()).count())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// That an item can't be accepted or a key comes twice, and nothing was sent; for single items: as for
    /// [`Client::put`].
    pub async fn put_many(&self, puts: Vec<Put>) -> Result<Vec<Result<PutReply, WriteError<Put>>>, NotDone> {
        self.write_many(puts).await
    }

    /// Removes many records, and gives a result for each in their order.
    ///
    /// ```
    /// use canopy_client::transport::Transport;
    /// use canopy_client::{Client, Delete, NotDone};
    ///
    /// async fn forget<T: Transport>(client: &Client<T>, keys: &[&str]) -> Result<usize, NotDone> {
    ///     let results = client.delete_many(keys.iter().map(|key| Delete::new(*key)).collect()).await?;
    ///     Ok(results.iter().filter(|result| result.is_ok()).count())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Client::put_many`].
    pub async fn delete_many(
        &self,
        deletes: Vec<Delete>,
    ) -> Result<Vec<Result<DeleteReply, WriteError<Delete>>>, NotDone> {
        self.write_many(deletes).await
    }

    async fn write_many<W: Write>(&self, writes: Vec<W>) -> Result<Vec<Result<W::Done, WriteError<W>>>, NotDone> {
        check_items(&writes, W::check)?;
        check_keys(writes.iter().map(W::key_bytes))?;
        Ok(self.write_all(writes).await)
    }
}
