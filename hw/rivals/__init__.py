"""What users would build instead, from the descriptions of the formats: cells of eight lanes with other arithmetic."""
