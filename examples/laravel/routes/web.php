<?php

use App\Http\Controllers\CartController;
use App\Http\Controllers\LoginController;
use App\Http\Controllers\OrderController;
use App\Http\Controllers\PasswordController;
use App\Http\Controllers\PriceController;
use App\Http\Controllers\ReportController;
use App\Http\Controllers\VisitController;
use Illuminate\Support\Facades\Route;

Route::get('/', [VisitController::class, 'guest']);
Route::post('/login', LoginController::class);
Route::get('/visits', [VisitController::class, 'count'])->middleware('auth');

// One request of a session at a time: the second waits for the first.
Route::post('/cart/{item}', [CartController::class, 'add'])->middleware('auth')->block(10, 10);
Route::get('/cart', [CartController::class, 'show'])->middleware('auth');

Route::get('/prices/{product}', [PriceController::class, 'show']);
Route::delete('/prices', [PriceController::class, 'forget']);
Route::post('/report', ReportController::class);

Route::post('/orders/{order}', [OrderController::class, 'place']);
Route::get('/receipts', [OrderController::class, 'receipts']);

// Five in ten minutes, in two ways.
Route::post('/codes', [PasswordController::class, 'code'])->middleware('throttle:5,10');
Route::post('/passwords/{name}', [PasswordController::class, 'attempt']);
