"""Any images in folders named after their classes, held in memory."""
