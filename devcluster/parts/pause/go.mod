module github.com/caretaker-dev/caretaker/devcluster/parts/pause

go 1.26.0
