module gotrace.example/triggers

go 1.22
