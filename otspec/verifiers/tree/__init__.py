"""Rules that verify drafted trees and several paths, one file each."""
