module gotrace.example/diseases

go 1.25
