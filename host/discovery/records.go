package discovery

import (
	"context"
	"errors"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/discovery"
)

// maxRecords is how many provider records a DHT server keeps for others: one for each node of a
// large fleet with room for the time until old ones expire, at about 200 bytes each.
const maxRecords = 20_000

// errTooManyRecords ends up in the DHT's debug log; the sender gets no answer to a record in any
// case.
var errTooManyRecords = errors.New("too many records")

// newRecords returns a store in memory that holds at most limit keys: anybody can send records to a
// DHT server.
func newRecords(limit int) datastore.Batching {
	return dssync.MutexWrap(&records{MapDatastore: datastore.NewMapDatastore(), keys: make(map[datastore.Key]struct{}), limit: limit})
}

// records counts keys on top of a map datastore. The lock is the one around it.
type records struct {
	*datastore.MapDatastore
	keys  map[datastore.Key]struct{}
	limit int
}

func (r *records) Put(ctx context.Context, key datastore.Key, value []byte) error {
	if _, ok := r.keys[key]; !ok && len(r.keys) >= r.limit {
		return errTooManyRecords
	}
	r.keys[key] = struct{}{}
	return r.MapDatastore.Put(ctx, key, value)
}

func (r *records) Delete(ctx context.Context, key datastore.Key) error {
	delete(r.keys, key)
	return r.MapDatastore.Delete(ctx, key)
}

// Batch must go through Put and Delete above.
func (r *records) Batch(context.Context) (datastore.Batch, error) {
	return datastore.NewBasicBatch(r), nil
}

func limitTo(n int) discovery.Option { return discovery.Limit(n) }
