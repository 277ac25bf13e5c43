package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// walDir is the directory, in a data directory, that holds a log of the kind LogStoreWAL. A release that does not know it
// finds raftFile missing, and refuses.
const walDir = "wal"

// What a conversion has built, and what it has replaced, are under the store's own name with one of these. In turn:
//
//	the old store, the new one under convertedSuffix    the directory is as before; what was built may be in parts
//	no store, the old one under replacedSuffix,
//	  the new one under convertedSuffix                 the new one is whole: it is put in place
//	the new store, the old one under replacedSuffix     done; the old one goes
//
// Each step is one rename, on disk before the next one.
const (
	convertedSuffix = ".converted"
	replacedSuffix  = ".replaced"
)

// storeNames are the files or directories that the stores are.
var storeNames = map[string]string{LogStoreBolt: raftFile, LogStoreWAL: walDir}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// storeIn returns which store a data directory has; "" for none. It finishes a conversion that was cut short when it was
// all but done.
func storeIn(dir string) (kind string, err error) {
	err = errors.Join(finishConversion(dir, raftFile, walDir), finishConversion(dir, walDir, raftFile))
	if err != nil {
		return "", fmt.Errorf("finish the conversion of the log: %w", err)
	}
	bolt, err := exists(filepath.Join(dir, raftFile))
	if err != nil {
		return "", err
	}
	wal, err := exists(filepath.Join(dir, walDir))
	switch {
	case err != nil:
		return "", err
	case bolt && wal:
		return "", fmt.Errorf("%s has two logs, %s and %s, and no conversion leaves that behind: one of them is not this "+
			"node's, or has been overtaken by the other; move that one away, or, if it is not known which, empty the directory "+
			"and let the node join again under a new id", dir, raftFile, walDir)
	case bolt:
		return LogStoreBolt, nil
	case wal:
		return LogStoreWAL, nil
	default:
		return "", nil
	}
}

// chooseStore returns which store to open or to make.
func chooseStore(dir, want string) (kind string, err error) {
	has, err := storeIn(dir)
	switch {
	case err != nil:
		return "", err
	case has == "" && want == LogStoreAuto:
		return DefaultLogStore, nil
	case has == "":
		return want, nil
	case want != LogStoreAuto && want != has:
		return "", fmt.Errorf("%s has a log of the kind %s, and %s is asked for: convert it while the node is stopped, with "+
			"`syllecta log-store convert --data-dir %s --to %s`, or ask for %s or %s",
			dir, has, want, dir, want, has, LogStoreAuto)
	default:
		return has, nil
	}
}

// finishConversion puts the new store in place if the old one is out of it already.
func finishConversion(dir, replaced, name string) error {
	path := filepath.Join(dir, name)
	for there, want := range map[string]bool{
		path: false, filepath.Join(dir, replaced): false,
		path + convertedSuffix: true, filepath.Join(dir, replaced+replacedSuffix): true,
	} {
		if is, err := exists(there); err != nil || is != want {
			return err
		}
	}
	err := os.Rename(path+convertedSuffix, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the conversion itself was faster
	}
	return errors.Join(err, syncDir(dir))
}

// removeConverted removes what a conversion has replaced, or has not come to an end with. The store must be open.
func removeConverted(dir string) error {
	removed := false
	for _, name := range storeNames {
		for _, suffix := range []string{convertedSuffix, replacedSuffix} {
			path := filepath.Join(dir, name+suffix)
			is, err := exists(path)
			if err != nil {
				return err
			}
			if !is {
				continue
			}
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("remove what a conversion of the log has left: %w", err)
			}
			removed = true
		}
	}
	if removed {
		return syncDir(dir)
	}
	return nil
}
