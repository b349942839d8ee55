package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// badger ends the process when the last bytes of a table are not what they should be, and may do so when a block is not. Therefore
// all files are read, and all checksums are compared, before badger sees them.

// logHeader is the size of what each log begins with.
const logHeader = 20

// checkFiles reads the tables that the store consists of, and looks at the sizes of the logs.
func checkFiles(dir string, opt badger.Options) error {
	tables, err := listTables(dir, opt)
	if err != nil {
		return damaged(badger.ManifestFilename, err)
	}
	newest := uint64(0)
	for id := range tables {
		path := table.NewFilename(id, dir)
		version, err := checkTable(path)
		if err != nil {
			return damaged(filepath.Base(path), err)
		}
		newest = max(newest, version)
	}
	if err := checkUnlisted(dir, tables, newest); err != nil {
		return damaged(badger.ManifestFilename, err)
	}
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		logs, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, path := range logs {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			if size := info.Size(); size > 0 && size < logHeader { // 0: killed after the file was made
				return damaged(filepath.Base(path), fmt.Errorf("it has only %d bytes", size))
			}
		}
	}
	return nil
}

func damaged(file string, err error) error {
	return fmt.Errorf("%w: %s: %w; %s", ErrDamaged, file, err, advice)
}

// listTables returns the tables that the manifest names; others are what a crash left, and badger removes them.
func listTables(dir string, opt badger.Options) (map[uint64]badger.TableManifest, error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a new store, or checkUnlisted will tell
	}
	if err != nil {
		return nil, err
	}
	manifest, _, err := badger.ReplayManifestFile(f, opt.ExternalMagicVersion, opt)
	return manifest.Tables, errors.Join(err, f.Close())
}

var errCutOff = errors.New("the table is cut off")

// checkTable compares the checksums of a table: blocks, the index, its length, its checksum and that's
// length. It returns the newest version of a key in it.
func checkTable(path string) (newest uint64, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	defer func() { // the readers of the index trust what they read, if only its checksum is right
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	rest := data
	sum, rest, err := sized(rest)
	if err != nil {
		return 0, err
	}
	index, rest, err := sized(rest)
	if err != nil {
		return 0, err
	}
	if err := verify(index, sum); err != nil {
		return 0, fmt.Errorf("index: %w", err)
	}
	blocks := fb.GetRootAsTableIndex(index, 0)
	var block fb.BlockOffset
	for i := range blocks.OffsetsLength() {
		if !blocks.Offsets(&block, i) {
			return 0, fmt.Errorf("block %d is not in the index", i)
		}
		from, to := uint64(block.Offset()), uint64(block.Offset())+uint64(block.Len())
		if to > uint64(len(rest)) {
			return 0, errCutOff
		}
		sum, content, err := sized(rest[from:to])
		if err == nil {
			err = verify(content, sum)
		}
		if err != nil {
			return 0, fmt.Errorf("block %d: %w", i, err)
		}
	}
	return blocks.MaxVersion(), nil
}

// sized cuts a part off the end of data that has its length behind it.
func sized(data []byte) (part, rest []byte, err error) {
	if len(data) < 4 {
		return nil, nil, errCutOff
	}
	rest = data[:len(data)-4]
	n := binary.BigEndian.Uint32(data[len(data)-4:])
	if uint64(n) > uint64(len(rest)) {
		return nil, nil, errCutOff
	}
	return rest[len(rest)-int(n):], rest[:len(rest)-int(n)], nil
}

func verify(data, sum []byte) error {
	var want pb.Checksum
	if err := proto.Unmarshal(sum, &want); err != nil {
		return err
	}
	return y.VerifyChecksum(data, &want)
}
