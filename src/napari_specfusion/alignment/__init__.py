"""Two images of one place, brought onto one grid."""
