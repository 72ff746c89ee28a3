"""What the benches beside the peers share: measuring, points, contenders, the judge, the report."""
