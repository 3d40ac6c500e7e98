module gotrace.example/dying

go 1.22
